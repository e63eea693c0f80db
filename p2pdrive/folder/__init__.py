"""The person's folder: reading it, watching it, and changing it without losing anything.

``files`` is the small Protocol that everything above goes through, ``local`` the real one; ``scan``
walks, ``watch`` waits for changes, ``ignore`` says what is not synced.

What always holds, whatever is killed when:

- Nothing outside the root is opened, made, changed or removed: every parent is opened anew for each
  operation, beneath the root and through no symlink.
- A path is never written in place. New bytes are whole in ``.p2pdrive/tmp`` before they get their name.
- Whatever a name is taken from (replaced, removed) is kept in ``.p2pdrive/tmp`` as a *displaced* file,
  looked at *after* it was taken, and put back where it is not the version that was to go. Displaced
  files are never written to and go only by ``discard``.
"""
