"""Which models of a store are one model: what their layers have in common, without comparing all pairs one by one.

``marks`` (what is known of each layer) → ``exact`` (equal weights, equal up to a factor of each channel) and ``alike``
(products of sketches, a matrix product per shape) → ``pairs`` (what ties two models) → ``confirming`` (on the weights)
→ ``lineages`` (what hangs together), kept in the store by ``kept``.
"""
