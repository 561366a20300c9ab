"""What every test shares."""

from hypothesis import settings

settings.register_profile("labeler", deadline=None, derandomize=True)
settings.load_profile("labeler")
