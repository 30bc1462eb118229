"""Proves that claimed jobs end once and rightly, whatever fails, stalls, pauses or stops."""
