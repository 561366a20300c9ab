"""Training a reader: loop, losses, schedule, distillation, reinforcement learning."""
