"""The stages of a request inside the pipeline: plan, ask for each sentence, look at what came, put together."""
