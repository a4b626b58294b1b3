"""What every class of settings is: one table of the TOML file, with the environment over it."""

from __future__ import annotations

from typing import ClassVar

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class Section(BaseSettings):
    """A table of the TOML file; subclasses name it in `table`."""

    table: ClassVar[str] = ""
    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class passes it by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings
