"""The built-in signals, one file a family. `filters.load_builtin()` registers them."""
