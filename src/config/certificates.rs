//! `SSL_CERT_FILE` and `SSL_CERT_DIR`: with either set, only the certificates there are trusted, so that one that cannot
//! be read ends every TLS connection with an unknown issuer.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    Env,
    fault::{Fault, Faults},
    owner::whose_if_denied,
    secrets::{kind_of, reason},
};

/// The variable with a file of certificates.
const FILE: &str = "SSL_CERT_FILE";
/// The variable with folders of such files, with colons between them.
const DIR: &str = "SSL_CERT_DIR";
/// Most bytes read of a file of certificates; a system's own has a quarter of a megabyte.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most files looked at in a folder until one has a certificate.
const FILES_MAX: usize = 2_000;
/// The lines around a certificate in PEM.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Reports what the two variables name and no certificate can be taken from.
pub(super) fn check(env: Env<'_>, faults: &mut Faults) {
    if let Some(file) = env(FILE)
        && let Err(what) = look_at(&file)
    {
        faults.push(fault(FILE, &file, what, "name a file with certificates in PEM"));
    }
    // An empty part is no folder; a variable of nothing else counts as unset.
    let folders = env(DIR).unwrap_or_default();
    let folders: Vec<&str> = folders.split(':').filter(|folder| !folder.is_empty()).collect();
    let mut holds_one = false;
    let mut found = Vec::new();
    for folder in &folders {
        match look_into(Path::new(folder)) {
            Ok(holds) => holds_one |= holds,
            Err(error) => {
                found.push(fault(DIR, folder, unreadable(Path::new(folder), &error), "name a folder with such files"));
            }
        }
    }
    if let (Some(first), true, false) = (folders.first(), found.is_empty(), holds_one) {
        found.push(fault(
            DIR,
            first,
            "no file there holds a certificate in PEM".to_owned(),
            "name a folder with such files",
        ));
    }
    for fault in found {
        faults.push(fault);
    }
}

fn fault(variable: &str, path: &str, what: String, mend: &str) -> Fault {
    Fault {
        file: PathBuf::from(variable),
        line: None,
        key: path.to_owned(),
        what,
        why: "While this variable is set, the system's own certificates are not used, and no server could be trusted."
            .to_owned(),
        mend: format!(
            "{mend} (-----BEGIN CERTIFICATE-----) that the user of the service may read, or take {variable} out of the \
             environment (of the unit, too)."
        ),
    }
}

/// Looks for a certificate in a file.
fn look_at(file: &str) -> Result<(), String> {
    if file.is_empty() {
        return Err("set, but empty".to_owned());
    }
    let path = Path::new(file);
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(format!("is {}, not a file", kind_of(&metadata)));
    }
    match read(path) {
        Err(error) => Err(unreadable(path, &error)),
        Ok(bytes) if holds_certificate(&bytes) => Ok(()),
        Ok(bytes) if bytes.starts_with(&[0x30]) => {
            Err("holds a certificate in DER, where PEM is expected (`openssl x509 -inform der -in FILE -out FILE.pem`)"
                .to_owned())
        }
        Ok(_) => Err("holds no whole certificate in PEM".to_owned()),
    }
}

/// Returns whether any file of a folder holds a certificate.
fn look_into(folder: &Path) -> io::Result<bool> {
    let entries = fs::read_dir(folder)?.filter_map(Result::ok).take(FILES_MAX);
    let mut files = entries.map(|entry| entry.path()).filter(|path| path.is_file());
    Ok(files.any(|file| read(&file).is_ok_and(|bytes| holds_certificate(&bytes))))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot be read: {}{}", reason(error), whose_if_denied(path, error))
}

fn holds_certificate(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let bodies = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
    bodies
        .map(|(body, _)| body.split_whitespace().collect::<String>())
        .any(|body| BASE64_STANDARD.decode(body).is_ok_and(|der| is_whole(&der)))
}

/// Returns whether a DER sequence is as long as its own head says.
fn is_whole(der: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = der else { return false };
    let count = usize::from(first & 0x7f);
    match (first & 0x80 == 0, rest.split_at_checked(count)) {
        (true, _) => rest.len() == count,
        (false, Some((length, body))) if count <= 4 => {
            length.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte)) == body.len()
        }
        (false, _) => false,
    }
}
