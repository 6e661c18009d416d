"""One network as data: its graph, its cost, the PyTorch module it becomes, and what makes it another one."""
