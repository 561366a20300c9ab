"""The people who review: invitation, agreement of each two, speed, quality, cost, and the pull of suggestions."""
