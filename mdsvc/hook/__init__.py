"""libvirt's hook: guests of a plain libvirt host come into the store as they start, and go as they
end. ``script`` is what libvirt runs: it leaves a note and returns. ``notes`` reads them, and
``following`` carries them out.
"""
