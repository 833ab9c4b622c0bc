//! Short texts in many encodings: read as they were written, or told as guessed. Never wrong without a word.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, IBM866, ISO_8859_2, ISO_8859_5, ISO_8859_7, KOI8_R, KOI8_U, MACINTOSH,
    SHIFT_JIS, WINDOWS_874, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1253, WINDOWS_1254, WINDOWS_1255,
    WINDOWS_1256, X_MAC_CYRILLIC,
};

use super::{is_likely, read};

const CYRILLIC: &[&str] =
    &["да", "Ошибка", "нет связи", "Сервер: ошибка 5", "привет, мир", "ЖУРНАЛ", "id;имя\n1;Анна\n"];
const JAPANESE: &[&str] = &["日本", "エラー", "はい", "再起動しました", "id,名前\n1,田中\n", "ログ: 失敗"];
const SIMPLIFIED: &[&str] = &["你好", "错误", "服务器", "编号,姓名\n1,张三\n", "启动失败。", "好"];
const TRADITIONAL: &[&str] = &["你好", "錯誤", "伺服器", "編號,姓名\n1,王小明\n", "啟動失敗。"];
const KOREAN: &[&str] = &["안녕", "오류", "서버 오류 5", "번호,이름\n1,김철수\n", "네"];
const WESTERN: &[&str] = &["café", "Größe", "¡Hola!", "São Paulo", "naïve", "50 €"];

const TEXTS: [(&Encoding, &[&str]); 22] = [
    (KOI8_R, CYRILLIC),
    (KOI8_U, &["помилка", "їжак", "Сервер не відповідає"]),
    (WINDOWS_1251, CYRILLIC),
    (ISO_8859_5, CYRILLIC),
    (IBM866, CYRILLIC),
    (X_MAC_CYRILLIC, CYRILLIC),
    (MACINTOSH, &["café", "Größe", "¡Hola!", "São Paulo", "naïve"]),
    (SHIFT_JIS, JAPANESE),
    (EUC_JP, JAPANESE),
    (GB18030, SIMPLIFIED),
    (GB18030, &["好😀", "㐂、𠀀字"]),
    (BIG5, TRADITIONAL),
    (EUC_KR, KOREAN),
    (WINDOWS_1252, WESTERN),
    (WINDOWS_1250, &["Zażółć", "chyba połączenia", "příliš"]),
    (ISO_8859_2, &["Zażółć", "chyba połączenia", "příliš"]),
    (WINDOWS_1253, &["σφάλμα", "καλημέρα", "Αθήνα 5"]),
    (ISO_8859_7, &["σφάλμα", "καλημέρα"]),
    (WINDOWS_1254, &["hata oluştu", "İstanbul", "değişken"]),
    (WINDOWS_1255, &["שלום", "שגיאה בשרת"]),
    (WINDOWS_1256, &["خطأ", "مرحبا بالعالم"]),
    (WINDOWS_874, &["สวัสดี", "ข้อผิดพลาด"]),
];

#[test]
fn c7_a_short_text_in_a_rare_encoding_is_read_rightly_or_told_as_guessed() {
    let (mut all, mut right, mut silent) = (0, 0, Vec::new());
    for (encoding, texts) in TEXTS {
        for text in texts {
            let (bytes, _, failed) = encoding.encode(text);
            assert!(!failed, "{} cannot write {text}", encoding.name());
            let found = read(&bytes).filter(|_| is_likely(&bytes));
            let is_right = found.as_ref().is_some_and(|found| found.text == *text);
            all += 1;
            right += usize::from(is_right);
            if !is_right && found.as_ref().is_none_or(|found| found.read_as.is_none()) {
                silent.push(format!("{} {text:?}: {found:?}", encoding.name()));
            }
        }
    }
    assert_eq!(silent, Vec::<String>::new(), "wrong without a word");
    assert!(right * 10 >= all * 6, "{right} of {all} are read as they were written");
}
