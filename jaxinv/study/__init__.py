"""The question answered on real digits: small networks that differ in one thing each."""
