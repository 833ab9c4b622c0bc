//! Why nothing answered, derived from the libraries' error texts, so that an operator learns whether the name, the
//! address, the certificate or the time was at fault.

use std::error::Error;

pub(crate) mod clock;
pub(crate) mod homeserver;
pub(crate) mod registered;

/// What prevented a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The name does not resolve.
    Name,
    /// Nothing listens at the address.
    Refused,
    /// There is no route to the address.
    NoRoute,
    /// There was no answer in time.
    Timeout,
    /// This machine does not trust the certificate's issuer.
    UnknownIssuer,
    /// The certificate is self-signed, and not accepted as a server's.
    OwnIssuer,
    /// The certificate is for another name.
    OtherName,
    /// The certificate is not valid at present.
    OutOfDate,
    /// We used TLS, but the other side did not.
    NotTls,
    /// We used plain HTTP, but the other side did not, and most likely uses TLS.
    NotHttp,
    /// TLS failed in another way.
    Tls,
    /// The proxy in between refused or failed.
    Proxy,
    /// The connection broke midway.
    BrokenOff,
    /// Something else.
    Other,
}

/// Lower-case error texts of libraries and their meanings; the first match counts.
const SIGNS: [(&str, Obstacle); 35] = [
    ("unknownissuer", Obstacle::UnknownIssuer),
    ("unknown issuer", Obstacle::UnknownIssuer),
    ("caused by unknown", Obstacle::UnknownIssuer),
    ("unknownca", Obstacle::UnknownIssuer),
    ("self signed", Obstacle::OwnIssuer),
    ("self-signed", Obstacle::OwnIssuer),
    ("causedasendentity", Obstacle::OwnIssuer),
    ("notvalidforname", Obstacle::OtherName),
    ("not valid for name", Obstacle::OtherName),
    ("certificate not valid for", Obstacle::OtherName),
    ("certificate expired", Obstacle::OutOfDate),
    ("expired", Obstacle::OutOfDate),
    ("notvalidyet", Obstacle::OutOfDate),
    ("not valid yet", Obstacle::OutOfDate),
    ("invalidcontenttype", Obstacle::NotTls),
    ("corrupt message", Obstacle::NotTls),
    ("invalid peer certificate", Obstacle::Tls),
    ("received fatal alert", Obstacle::Tls),
    ("tls handshake", Obstacle::Tls),
    ("tunnel", Obstacle::Proxy),
    ("proxy", Obstacle::Proxy),
    ("dns error", Obstacle::Name),
    ("failed to lookup address", Obstacle::Name),
    ("connection refused", Obstacle::Refused),
    ("unreachable", Obstacle::NoRoute),
    ("no route to host", Obstacle::NoRoute),
    ("timed out", Obstacle::Timeout),
    ("deadline has elapsed", Obstacle::Timeout),
    ("within", Obstacle::Timeout),
    ("invalid http version", Obstacle::NotHttp),
    ("http/0.9", Obstacle::NotHttp),
    ("end of file before", Obstacle::BrokenOff),
    ("incompletemessage", Obstacle::BrokenOff),
    ("reset", Obstacle::BrokenOff),
    ("closed", Obstacle::BrokenOff),
];

impl Obstacle {
    /// Determines the obstacle from the causes as [`chain`] returns them.
    #[must_use]
    pub(crate) fn of(causes: &str) -> Self {
        let causes = causes.to_ascii_lowercase();
        SIGNS.iter().find(|(sign, _)| causes.contains(sign)).map_or(Self::Other, |(_, obstacle)| *obstacle)
    }

    /// Returns the remedy for an error with these causes; `key` names the setting with the other side's address.
    #[must_use]
    pub(crate) fn mend_of(causes: &str, key: &str) -> String {
        match Self::of(causes) {
            Self::OutOfDate => clock::mend_of_certificate(causes).unwrap_or_else(|| Self::OutOfDate.mend(key)),
            obstacle => obstacle.mend(key),
        }
    }

    /// Returns the remedy; `key` names the setting with the other side's address.
    #[must_use]
    pub(crate) fn mend(self, key: &str) -> String {
        match self {
            Self::Name => format!("correct the host name in {key}, or this machine's DNS (try `getent hosts NAME`)"),
            Self::Refused => format!("start what is to listen there, or correct host and port in {key}"),
            Self::NoRoute => format!("look at this machine's network and firewall, or correct {key}"),
            Self::Timeout => {
                format!(
                    "look whether it hangs, and at firewalls in between (they drop without a word); https:// in front of a \
                     port without TLS does this, too: check {key}"
                )
            }
            Self::UnknownIssuer => "for a CA of your own, install its certificate (Debian: copy it to \
                 /usr/local/share/ca-certificates/NAME.crt and run `update-ca-certificates`) or name it in SSL_CERT_FILE; \
                 otherwise have the server send its intermediate certificates too. Then restart workmate"
                .to_owned(),
            Self::OwnIssuer => "the server shows a certificate that issues others (one that signs itself): that is not taken for a \
                 server's even where it is trusted. Have a CA of your own issue one for the server, and trust that CA \
                 (`update-ca-certificates`, or SSL_CERT_FILE)"
                .to_owned(),
            Self::OtherName => format!("set {key} to a name that the certificate is for, or renew it with this name"),
            Self::OutOfDate => "renew the certificate, or set this machine's clock".to_owned(),
            Self::NotTls => format!("that port speaks plain HTTP: write http:// in {key}, or the port that has TLS"),
            Self::NotHttp => format!("that port does not speak plain HTTP, it may have TLS: try https:// in {key}"),
            Self::Tls => "look at the server's certificate and its TLS settings".to_owned(),
            Self::Proxy => "look at the proxy that is set for this connection, and whether it lets us through".to_owned(),
            Self::BrokenOff => format!(
                "look into the log of what listens there; http:// in front of a port with TLS does this, too: check {key}"
            ),
            Self::Other => format!("look whether it runs, and check {key}"),
        }
    }
}

/// Texts of the HTTP library's that only say which part of it failed.
const FRAMES: [&str; 6] = [
    "client error (Connect)",
    "client error (SendRequest)",
    "tcp connect error",
    "error trying to connect",
    "dns error",
    "error resolving DNS",
];

/// Returns a system error's text without the number behind it.
#[must_use]
pub(crate) fn without_number(cause: &str) -> &str {
    cause.split_once(" (os error ").map_or(cause, |(text, _)| text)
}

/// Returns an error's causes, outermost first, without repetitions. An HTTP library's outermost text only says that
/// something failed, and may contain the URL, so it is dropped if there are further causes.
#[must_use]
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut all = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        all.push(cause.to_string());
        next = cause.source();
    }
    let causes = if all.len() > 1 { &all[1..] } else { &all[..] };
    let mut told: Vec<&str> = Vec::new();
    let is_frame = |cause: &str| FRAMES.contains(&cause);
    let says_more = causes.iter().any(|cause| !is_frame(cause.trim()));
    let causes =
        causes.iter().map(|cause| without_number(cause.trim())).filter(|cause| !(says_more && is_frame(cause)));
    for cause in causes {
        // Drop a cause that the next one repeats.
        told.retain(|before| !cause.contains(before));
        if !told.iter().any(|before| before.contains(cause)) {
            told.push(cause);
        }
    }
    told.join(": ")
}

#[cfg(test)]
mod tests {
    use std::{fmt, io};

    use super::*;

    #[test]
    fn what_stood_in_the_way_is_read_out_of_what_the_libraries_say() {
        for (said, expected) in [
            ("client error (Connect): tcp connect error: Connection refused (os error 111)", Obstacle::Refused),
            (
                "client error (Connect): dns error: failed to lookup address information: Name or service not known",
                Obstacle::Name,
            ),
            ("client error (Connect): invalid peer certificate: UnknownIssuer", Obstacle::UnknownIssuer),
            (
                "client error (Connect): invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))",
                Obstacle::OwnIssuer,
            ),
            (
                "invalid peer certificate: certificate not valid for name \"a.example\"; it is for b.example",
                Obstacle::OtherName,
            ),
            ("invalid peer certificate: certificate expired: verification time 1", Obstacle::OutOfDate),
            ("client error (Connect): received corrupt message of type InvalidContentType", Obstacle::NotTls),
            ("client error (SendRequest): invalid HTTP version parsed", Obstacle::NotHttp),
            ("client error (Connect): tcp connect error: deadline has elapsed", Obstacle::Timeout),
            ("operation timed out", Obstacle::Timeout),
            ("no answer within 10 s", Obstacle::Timeout),
            ("client error (Connect): tcp connect error: Network is unreachable (os error 101)", Obstacle::NoRoute),
            ("client error (Connect): tunnel error: unsuccessful", Obstacle::Proxy),
            ("client error (SendRequest): connection closed before message completed", Obstacle::BrokenOff),
            ("Connection reset by peer (os error 104)", Obstacle::BrokenOff),
            ("error reading a body from connection: end of file before message length reached", Obstacle::BrokenOff),
            ("something new", Obstacle::Other),
        ] {
            assert_eq!(Obstacle::of(said), expected, "{said}");
        }
    }

    #[test]
    fn each_obstacle_has_a_mend_of_its_own() {
        use Obstacle::{
            BrokenOff, Name, NoRoute, NotHttp, NotTls, Other, OtherName, OutOfDate, OwnIssuer, Proxy, Refused, Timeout,
            Tls, UnknownIssuer,
        };
        let all = [
            BrokenOff,
            Name,
            NoRoute,
            NotHttp,
            NotTls,
            Other,
            OtherName,
            OutOfDate,
            OwnIssuer,
            Proxy,
            Refused,
            Timeout,
            Tls,
            UnknownIssuer,
        ];
        let mends: std::collections::BTreeSet<String> = all.iter().map(|one| one.mend("homeserver.url")).collect();
        assert_eq!(mends.len(), all.len());
        assert!(UnknownIssuer.mend("x").contains("SSL_CERT_FILE") && UnknownIssuer.mend("x").contains("update-ca-"));
    }

    #[derive(Debug)]
    struct Outer(&'static str, Option<Box<dyn Error + 'static>>);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref()
        }
    }

    #[test]
    fn the_causes_under_an_error_are_told_once_each_and_its_own_words_only_where_there_are_none() {
        let refused = || io::Error::from_raw_os_error(111);
        let inner = Outer("tcp connect error", Some(Box::new(refused())));
        let error = Outer("error sending request for url (https://x)", Some(Box::new(inner)));
        assert_eq!(chain(&error), "Connection refused");
        assert_eq!(chain(&Outer("x", Some(Box::new(Outer("tcp connect error", None))))), "tcp connect error");
        let twice = Outer("outer", Some(Box::new(Outer("dns error", Some(Box::new(Outer("dns error: no", None)))))));
        assert_eq!(chain(&twice), "dns error: no");
        assert_eq!(chain(&Outer("alone", None)), "alone");
    }
}
