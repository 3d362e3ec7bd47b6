from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from metasim.refine.options import (
    CUT,
    CycleGAN,
    Pix2Pix,
    Preset,
    Refine,
    RefineOptions,
    SimGAN,
    Trained,
)

METHODS: tuple[type[RefineOptions], ...] = get_args(get_args(Refine)[0])
PRESETS = get_args(Preset)
READ: TypeAdapter[RefineOptions] = TypeAdapter(Refine)

every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
every_preset = pytest.mark.parametrize("preset", PRESETS)


def name_of(method: type[RefineOptions]) -> str:
    name: str = method.model_fields["method"].default
    return name


def test_every_method_has_a_name_of_its_own() -> None:
    assert len({name_of(method) for method in METHODS}) == len(METHODS) == 8


@every_method
def test_every_method_has_both_presets_and_begins_with_the_quick_one(
    method: type[RefineOptions],
) -> None:
    assert {*method.presets} == {*PRESETS}
    assert READ.validate_python({"method": name_of(method)}) == method(preset="quick")


@every_preset
@every_method
def test_a_preset_fills_what_is_not_given(method: type[RefineOptions], preset: Preset) -> None:
    made = method(preset=preset)
    filled = method.presets[preset]
    assert filled
    assert {name: getattr(made, name) for name in filled} == dict(filled)
    assert made.preset == preset


@every_preset
@every_method
def test_what_is_given_goes_before_the_preset(method: type[RefineOptions], preset: Preset) -> None:
    other = method.presets["paper" if preset == "quick" else "quick"]
    for name, value in other.items():
        made = method.model_validate({"preset": preset, name: value})
        assert getattr(made, name) == value
        rest = {**method.presets[preset], name: value}
        assert {key: getattr(made, key) for key in rest} == rest


@every_preset
@every_method
def test_what_is_written_is_read_as_it_was(method: type[RefineOptions], preset: Preset) -> None:
    made = method(preset=preset)
    for mode in ("python", "json"):
        dumped = made.model_dump(mode=mode)  # type: ignore[arg-type]
        assert READ.validate_python(dumped) == made
    read = READ.validate_json(json.dumps(made.model_dump(mode="json")))
    assert read == made
    assert type(read) is method


def test_settings_that_were_given_are_written_too() -> None:
    made = CycleGAN(preset="paper", blocks=6, pool=0, betas=(0.4, 0.9))
    assert READ.validate_python(made.model_dump(mode="json")) == made
    assert made.model_dump()["blocks"] == 6


def test_an_unknown_preset_is_one_mistake() -> None:
    with pytest.raises(ValidationError) as caught:
        CycleGAN.model_validate({"preset": "fast"})
    assert [error["loc"] for error in caught.value.errors()] == [("preset",)]


@every_method
@pytest.mark.parametrize(
    "wrong", [{"blocs": 3}, {"preset": "fast"}, {"preset": 3}, {"preset": ["quick"]}]
)
def test_what_is_unknown_is_refused(method: type[RefineOptions], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        READ.validate_python({"method": name_of(method), **wrong})
    assert {*wrong} <= {mistake["loc"][-1] for mistake in caught.value.errors()}


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValidationError, match="cyclegan"):
        READ.validate_python({"method": "cyclegans"})


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"betas": (0.5, 1.0)}, {"decay": 1.5}, {"learning_rate": 0}, {"batch_size": -1}],
)
@pytest.mark.parametrize(
    "method", [m for m in METHODS if issubclass(m, Trained)], ids=lambda method: method.__name__
)
def test_what_is_out_of_range_is_refused(method: type[Trained], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        method.model_validate(wrong)


@every_method
def test_settings_are_frozen(method: type[RefineOptions]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        method().preset = "paper"


# --- published settings --------------------------------------------------------------------


def test_cyclegan_has_the_published_settings() -> None:
    made = CycleGAN(preset="paper")
    assert (made.width, made.blocks) == (64, 9)
    assert (made.discriminator_width, made.layers) == (64, 3)
    assert (made.cycle, made.identity, made.pool) == (10, 0.5, 50)
    assert (made.learning_rate, made.betas, made.batch_size) == (2e-4, (0.5, 0.999), 1)
    assert made.decay == 0.5  # 100 epochs, and then 100 in which the rate falls


def test_cut_has_the_published_settings() -> None:
    made = CUT(preset="paper")
    assert (made.width, made.blocks) == (64, 9)
    assert (made.discriminator_width, made.layers) == (64, 3)
    assert (made.nce, made.nce_identity, made.flip) == (1, True, False)
    assert (made.patches, made.embedding, made.temperature) == (256, 256, 0.07)
    assert (made.learning_rate, made.betas, made.batch_size) == (2e-4, (0.5, 0.999), 1)
    assert made.decay == 0.5  # 200 epochs, and then 200


def test_simgan_has_the_published_settings() -> None:
    made = SimGAN(preset="paper")
    assert (made.width, made.blocks) == (64, 4)
    assert (made.refiner_warmup, made.discriminator_warmup) == (1000, 200)
    assert (made.refiner_steps, made.discriminator_steps) == (2, 1)
    assert made.noise == 0


def test_pix2pix_has_the_published_settings() -> None:
    made = Pix2Pix(preset="paper")
    assert (made.width, made.depth, made.l1, made.dropout) == (64, 8, 100, 0.5)
    assert (made.discriminator_width, made.layers) == (64, 3)
    assert (made.learning_rate, made.betas, made.batch_size) == (2e-4, (0.5, 0.999), 1)
