"""Long renders as jobs: chunks that can be rendered one by one, resumed, distributed to workers and joined."""
