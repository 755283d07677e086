"""The journal: every input that a layer decided on, with a digest of what it decided; and the snapshots that bound it.

entry       one record of the journal
journal     appending them, in the transaction of the input itself
reading     the entries of a span of versions
snapshot    copies of the state at one version
retention   what is removed when it has become old
frames      the bytes of snapshots and of exported histories
history     a beginning, the entries behind it, and the state they led to: what a replay needs
"""
