"""Search algorithms compared on tables of networks that were trained already."""
