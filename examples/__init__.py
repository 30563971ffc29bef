"""The reference applications: real programs that use Perdure the way a user would, each run by the tests."""
