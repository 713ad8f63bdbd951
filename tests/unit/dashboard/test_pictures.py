"""Files of pictures are small and lose nothing."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from dashboard.screenshots import compact


def encoded(pixels):
    held = BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


def decoded(png):
    with Image.open(BytesIO(png)) as image:
        image.verify()
    with Image.open(BytesIO(png)) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=30).map(lambda s: (*s, 3)),
              elements=st.integers(0, 255)))  # fmt: skip
def test_every_pixel_stays(pixels):
    png = encoded(pixels)
    made = compact(png)
    np.testing.assert_array_equal(decoded(made), pixels)
    assert len(made) <= len(png)


def test_what_repeats_takes_less():
    rng = np.random.default_rng(0)
    letter = rng.choice(np.array([[23, 32, 42], [237, 240, 243]], np.uint8), (12, 9))
    assert letter.shape == (12, 9, 3)
    png = encoded(np.tile(letter, (20, 40, 1)))
    assert len(compact(png)) < 0.8 * len(png)
