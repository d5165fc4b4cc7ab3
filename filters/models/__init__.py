"""Model files that come with the package; see README.md here for their authors and licences."""
