"""Speed, growth and time to nats against other ways to train the same model, each measured in one run."""
