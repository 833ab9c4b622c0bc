//! What the two variables with certificates may name.

use super::*;

/// Amazon Root CA 3, a public certificate.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBtjCCAVugAwIBAgITBmyf1XSXNmY/Owua2eiedgPySjAKBggqhkjOPQQDAjA5
MQswCQYDVQQGEwJVUzEPMA0GA1UEChMGQW1hem9uMRkwFwYDVQQDExBBbWF6b24g
Um9vdCBDQSAzMB4XDTE1MDUyNjAwMDAwMFoXDTQwMDUyNjAwMDAwMFowOTELMAkG
A1UEBhMCVVMxDzANBgNVBAoTBkFtYXpvbjEZMBcGA1UEAxMQQW1hem9uIFJvb3Qg
Q0EgMzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCmXp8ZBf8ANm+gBG1bG8lKl
ui2yEujSLtf6ycXYqm0fc4E7O5hrOXwzpcVOho6AF2hiRVd9RFgdszflZwjrZt6j
QjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgGGMB0GA1UdDgQWBBSr
ttvXBp43rDCGB5Fwx5zEGbF4wDAKBggqhkjOPQQDAgNJADBGAiEA4IWSoxe3jfkr
BqWTrBqYaGFy+uGh0PsceGCmQ5nFuMQCIQCcAu/xlJyzlvnrxir4tiz+OpAUFteM
YyRIHN8wfdVoOw==
-----END CERTIFICATE-----
";

#[test]
fn op6_certificates_that_cannot_be_taken_are_told_with_the_cause_before_any_connection() {
    let folder = Folder::new(MINIMAL);
    let dir = |name: &str| fs::create_dir(folder.path(name)).expect("made");
    ["empty", "good", "odd"].into_iter().for_each(dir);
    folder.write("ca.pem", &format!("# ours\n{CERTIFICATE}"));
    folder.write("good/ca.pem", CERTIFICATE);
    folder.write("good/README", "x");
    folder.write("odd/key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    folder.write("cut.pem", &CERTIFICATE[..200]);
    folder.write("short.pem", &CERTIFICATE.replace("YyRIHN8wfdVoOw==\n", ""));
    folder.write("words.pem", "this is no certificate");
    fs::write(folder.path("ca.der"), [0x30, 0x82, 1, 0xb6]).expect("written");
    let path = |name: &str| folder.path(name).display().to_string();
    let odd_list = format!("{}:{}", path("good"), path("missing"));
    let good_list = format!(":{}:{}", path("empty"), path("good"));
    for (variable, value, told) in [
        ("SSL_CERT_FILE", path("ca.pem"), None),
        ("SSL_CERT_FILE", path("missing.pem"), Some("cannot be read: there is no such file")),
        ("SSL_CERT_FILE", path("good"), Some("is a folder, not a file")),
        ("SSL_CERT_FILE", path("cut.pem"), Some("holds no whole certificate in PEM")),
        ("SSL_CERT_FILE", path("short.pem"), Some("holds no whole certificate in PEM")),
        ("SSL_CERT_FILE", path("words.pem"), Some("holds no whole certificate in PEM")),
        ("SSL_CERT_FILE", path("ca.der"), Some("in DER, where PEM is expected")),
        ("SSL_CERT_FILE", String::new(), Some("set, but empty")),
        ("SSL_CERT_DIR", path("good"), None),
        ("SSL_CERT_DIR", good_list, None),
        ("SSL_CERT_DIR", String::new(), None),
        ("SSL_CERT_DIR", path("empty"), Some("no file there holds a certificate")),
        ("SSL_CERT_DIR", path("odd"), Some("no file there holds a certificate")),
        ("SSL_CERT_DIR", path("ca.pem"), Some("cannot be read: it, or a part of its path, is no folder")),
        ("SSL_CERT_DIR", odd_list, Some("cannot be read: there is no such file")),
    ] {
        let loaded = folder.load(&[(variable, &value)]);
        match told {
            None => drop(loaded.expect(&value)),
            Some(told) => {
                let faults = loaded.expect_err(&value).to_string();
                let begins = faults.starts_with(variable);
                let mends = faults.contains("Mend: name a") && faults.contains(&format!("take {variable} out of"));
                assert!(begins && mends && faults.contains(told), "{value}: {faults}");
            }
        }
    }
}
