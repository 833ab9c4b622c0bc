//! Makes a flush survive a power cut.
//!
//! On Linux sled 0.34 ends a flush with `sync_file_range`, which writes neither the file's length and extents nor the
//! disk's own cache. It never syncs the files that hold large records (`blobs/`). A killed process loses nothing by
//! this, but a machine that loses power may. So we sync the files ourselves.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The database's files, as sled 0.34 names them.
pub(super) struct DatabaseFiles {
    log: File,
    blobs: PathBuf,
}

impl DatabaseFiles {
    /// Opens the files and makes their names durable.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let files = Self { log: File::open(dir.join("db"))?, blobs: dir.join("blobs") };
        files.sync()?;
        File::open(dir)?.sync_all()?;
        Ok(files)
    }

    /// Blocks until everything written to the files before is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut has_blobs = false;
        for blob in fs::read_dir(&self.blobs)? {
            match File::open(blob?.path()) {
                Ok(blob) => blob.sync_data()?,
                // Removed since, together with its record.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            has_blobs = true;
        }
        if has_blobs {
            File::open(&self.blobs)?.sync_all()?;
        }
        self.log.sync_data()
    }
}
