"""Long renders as jobs: chunks that can be rendered one by one, resumed, spread over workers and joined."""
