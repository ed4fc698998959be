"""Time spans, as people say them."""


def duration(seconds: float) -> str:
    """Say a time span for people.

    Example:
        >>> duration(8.4), duration(75), duration(3720)
        ('8.4 s', '1 min 15 s', '1 h 2 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
