"""Where everything lives and which backend each store has: one file, `saima.toml`, and environment variables."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

ROOT = Path(__file__).resolve().parent.parent


class ApiKey(BaseModel):
    """What one caller of the host's API may ask."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the caller's key, in hex.")
    scopes: list[Annotated[str, Field(pattern=r"^(predict|events|admin|features:.+)$")]] = Field(
        min_length=1,
        description="predict, events, admin (status and metrics), features:<pattern of names> as flight_delay.dep_*.",
    )


class RemoteModels(BaseModel):
    """Where the models of one declared name run. The address and the key are secrets: no log and no bundle has them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr = Field(description="Address of the scoring path, such as http://10.0.0.7:3200/v1/score.")
    key: SecretStr | None = Field(None, description="Sent as a bearer key.")
    timeout_ms: int = Field(500, ge=1, le=60_000, description="Most that an answer may take, all attempts together.")
    retries: int = Field(1, ge=0, le=10, description="Further attempts after a broken connection or a failure.")
    failures: int = Field(5, ge=1, description="Failures in a row that open the circuit breaker.")
    pause_s: float = Field(5.0, gt=0, description="How long it stays open before one request tries again.")

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value


class Settings(BaseSettings):
    """Settings; an environment variable `SAIMA_<NAME>` wins over `saima.toml`, which wins over the default."""

    model_config = SettingsConfigDict(env_prefix="SAIMA_", toml_file="saima.toml", extra="forbid")

    home: Path = Field(ROOT / "var", description="Folder of all state.")
    algorithms: Path = Field(ROOT / "algorithms", description="Folder of the users' algorithms.")
    datasets: Path = Field(ROOT / "datasets", description="Folder of recorded data.")
    log_backend: str = "sqlite"
    online_backend: str = "lmdb"
    tables_backend: str = "delta"
    registry_url: str = Field("", description="SQLAlchemy address; empty: SQLite under home.")
    shards: int = Field(1, ge=1, description="Stream worker shards, one process each.")
    host_workers: int = Field(2, ge=1, description="Processes of the algorithm host.")
    host_port: int = 3100
    dagster_port: int = 3000
    api_keys: dict[str, ApiKey] = Field(
        {}, description="Callers of the host's API by name; none: this machine may ask everything, others nothing."
    )
    linger_ms: int = Field(
        0, ge=0, le=1000, description="Least ms between two commits of a handful of events; more gather in one."
    )
    max_body_bytes: int = Field(8 << 20, ge=1 << 10, description="Largest body that the host's API reads.")
    remote_models: dict[str, RemoteModels] = Field(
        {}, description="Addresses that bundles may ask for models, by the name that a declaration gives as `remote`."
    )
    trusted_keys: list[str] = Field(
        [],
        description="Public keys (base64) of which one must have signed a bundle; none: unsigned ones load.",
    )
    signing_key: Path | None = Field(None, description="File of the private key that signs the bundles built here.")
    fsync: bool = Field(True, description="Force every commit of the online store to the disk.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic-settings passes all four
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of the sources: arguments, environment, `saima.toml`."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def registry_address(self) -> str:
        """SQLAlchemy address of the registry."""
        return self.registry_url or f"sqlite:///{self.home / 'registry.db'}"


@cache
def settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
