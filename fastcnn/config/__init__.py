"""Every setting of a run: `groups` says what there is, `values` converts and limits it, `toml`
reads and writes it; `presets` fills in what is not given, `recipe` makes the objects it asks for.
"""

from .groups import MACHINE, Config, ConfigError
from .toml import from_tables, read_tables, read_toml, to_tables, to_toml, toml_value
from .values import check, meant, names, replace, to_dict

__all__ = [
    "MACHINE",
    "Config",
    "ConfigError",
    "check",
    "from_tables",
    "meant",
    "names",
    "read_tables",
    "read_toml",
    "replace",
    "to_dict",
    "to_tables",
    "to_toml",
    "toml_value",
]
