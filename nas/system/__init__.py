"""The machine that nas runs on: its memory, its processes, its temporary folders."""
