"""facegate: camera events in, signed grant or deny decisions for doors out."""

__version__ = "0.1.0"
