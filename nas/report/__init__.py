"""From a study to what a person looks at: tables, plots, drawings."""
