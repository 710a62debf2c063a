"""Settings as TOML: a setting stands in its group's table or at the top level."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import PlaceError, place
from .groups import Config, ConfigError
from .values import NONE, converted, find, groups, settings_by_name, to_dict, unknown_name


class ConfigFileError(ConfigError, PlaceError):
    """A file of settings that cannot be read or is not TOML; named."""


def read_toml(path: str | Path) -> dict[str, Any]:
    """Settings named in a TOML file, checked, as a flat dict.

    A setting stands in its group's table or at the top level.

    Raises
    ------
    ConfigFileError
        If the file cannot be read or is not TOML; says which file.
    ConfigError
        If it names an unknown setting, a setting in another's table or a value of the wrong
        type; says which file.

    Examples
    --------
    >>> from pathlib import Path
    >>> size = Path("run.toml").write_text("training.epochs = 5")
    >>> read_toml("run.toml")
    {'epochs': 5}
    """
    tables = read_tables(path)
    try:
        return from_tables(tables)
    except ConfigError as error:
        raise ConfigError(f"in {path}: {error}") from None


def read_tables(path: str | Path) -> dict[str, Any]:
    """What a TOML file holds, its names not yet checked.

    Raises
    ------
    ConfigFileError
        If the file cannot be read or is not TOML; says which file.

    Examples
    --------
    >>> from pathlib import Path
    >>> size = Path("run.toml").write_text("training.epochs = 5")
    >>> read_tables("run.toml")
    {'training': {'epochs': 5}}
    """
    try:
        with open(place(path), "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigFileError(f"there is no configuration file {path}") from None
    except OSError as error:
        reason = error.strerror or error
        raise ConfigFileError(f"the configuration file {path} cannot be read: {reason}") from None
    except RecursionError:
        raise ConfigFileError(f"the configuration file {path} is nested too deep") from None
    except ValueError as error:  # or a number of too many digits
        raise ConfigFileError(f"the configuration file {path} is not valid TOML: {error}") from None


def from_tables(tables: Mapping[str, Any], others: Sequence[str] = ()) -> dict[str, Any]:
    """Settings in the tables of their groups or at the top level, checked, as a flat dict.

    Tables named in ``others`` are passed over.

    Raises
    ------
    ConfigError
        As `read_toml`, but cannot say which file.

    Examples
    --------
    >>> from_tables({"model": {"filters": [16, 32]}, "lr": 0.1})
    {'filters': (16, 32), 'lr': 0.1}
    """
    settings: dict[str, Any] = {}

    def add(table: str | None, name: str, value: Any) -> None:
        group = find(name).group
        if table not in (None, group):
            raise ConfigError(f"{name} belongs into the table [{group}], not [{table}]")
        if name in settings:
            raise ConfigError(f"{name} is given twice")
        settings[name] = converted(name, value)

    for key, value in tables.items():
        if key in others:
            continue
        if not isinstance(value, dict):
            add(None, key, value)
        elif key in groups():
            for name, entry in value.items():
                add(key, name, entry)
        else:
            raise ConfigError(unknown_name(key, [*groups(), *others], "table"))
    return settings


def to_toml(config: Config) -> str:
    """All settings as TOML text that `read_toml` takes back.

    Examples
    --------
    >>> from fastcnn.config import Config
    >>> to_toml(Config()).splitlines()[:2]
    ['[data]', 'dataset = "auto"']
    """
    import tomli_w

    return tomli_w.dumps(to_tables(to_dict(config)))


def to_tables(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Some settings in the tables of their groups, with values that TOML can write.

    Examples
    --------
    >>> to_tables({"lr": 0.1, "patience": None})
    {'training': {'patience': 'none'}, 'optimizer': {'lr': 0.1}}
    """
    tables: dict[str, dict[str, Any]] = {}
    for name, setting in settings_by_name().items():
        if name in settings:
            tables.setdefault(setting.group, {})[name] = toml_value(settings[name])
    return tables


def toml_value(value: Any) -> Any:
    """A setting's value as TOML can write it.

    Examples
    --------
    >>> toml_value(None), toml_value((16, 32)), toml_value(0.1)
    ('none', [16, 32], 0.1)
    """
    if value is None:
        return NONE
    return list(value) if isinstance(value, tuple) else value
