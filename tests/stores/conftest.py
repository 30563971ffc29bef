"""What the stores' tests share: failed asserts of the shipped suite say what they compared."""

import pytest

pytest.register_assert_rewrite("perdure.testing.store_conformance")
