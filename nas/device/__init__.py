"""The device where a network runs: how long it takes there, in what it is shipped with, or by a command of the user's."""
