"""Language models as labellers: prompts, requests, replies that become anchored answers, and what they cost."""
