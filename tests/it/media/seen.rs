//! Pictures that come another way than as an image: stickers, animations, and what a tool looks at.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{Delay, Frame, ImageFormat, RgbaImage, codecs::gif::GifEncoder};
use serde_json::json;
use workmate::standin::Turn;

use super::{asked, asking, attachment, picture};
use crate::harness::{
    Message, RoomKind, SentFile,
    homeserver::shared,
    office::{Office, question_of},
    workmate::coworker,
};

/// Returns an animation of a red picture and a blue one.
fn animation(width: u32, height: u32) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for colour in [[200, 20, 20, 255], [20, 20, 200, 255]] {
        let picture = RgbaImage::from_pixel(width, height, image::Rgba(colour));
        let delay = Delay::from_saturating_duration(Duration::from_millis(100));
        encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay))?;
    }
    drop(encoder);
    Ok(bytes)
}

#[tokio::test]
async fn c7_a_sticker_and_an_animation_that_people_ask_about_are_seen() -> Result<()> {
    let office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Plain).await?, office.oncall());
    let gif = animation(60, 40)?;
    let uploaded = office.bob.client().media().upload(&"image/gif".parse()?, gif.clone(), None).await?;
    let sticker = json!({ "body": "party parrot", "url": uploaded.content_uri, "info": { "mimetype": "image/gif" } });
    let sticker = office.bob.room(&room)?.send_raw("m.sticker", sticker).await?.response.event_id;
    let about = Message::text("@oncall what is on it?").pill("@oncall", &oncall).replying_to(&sticker);
    office.alice.send(&room, about).await?;
    office.answer(&office.alice, &room, &oncall, "what is on it?").await?;
    let request = asked(&office, "what is on it?");
    let files = request.files();
    let [seen] = files.as_slice() else { panic!("{} files", files.len()) };
    let first = image::load_from_memory(&seen.bytes)?.to_rgb8();
    assert_eq!((seen.kind.as_str(), first.dimensions()), ("image", (60, 40)));
    assert!(first.get_pixel(30, 20)[0] > 150, "it is the first picture");
    assert_eq!(attachment(&request, "party parrot")["kind"], "sticker");

    let file = SentFile::new("cat.gif", "image/gif", gif).as_image();
    office.alice.send_file(&room, &file, Some(asking(&oncall, "and this?"))).await?;
    office.answer(&office.alice, &room, &oncall, "and this?").await?;
    let request = asked(&office, "and this?");
    let newest = request.files().pop().context("a picture")?;
    assert_eq!(image::load_from_memory(&newest.bytes)?.to_rgb8().dimensions(), (60, 40));
    let record = attachment(&request, "cat.gif");
    assert!(record["file"].as_str().is_some_and(|file| file.starts_with("follows")), "{record}");
    Ok(())
}

#[tokio::test]
async fn c12_a_picture_in_a_tools_result_reaches_the_model() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let yard = folder.path().join("yard.png");
    std::fs::write(&yard, picture(320, 200, ImageFormat::Png))?;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/media/server.py");
    let servers = json!({ "camera": { "command": ["python3", program, yard] } });
    let mut oncall = coworker("oncall");
    oncall["tools"] = json!([{ "name": "camera__look", "approval": "never" }]);
    let people = [shared().person("alice").await, shared().person("bob").await];
    let office =
        Office::open_for(people, |setup| setup.coworkers(vec![oncall]).section("mcp_servers", servers)).await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.script("is the gate open", Turn::tool_use("camera__look", json!({})));

    office.asked_and_answered(&room, "is the gate open").await?;

    let requests = office.claude.requests();
    let last = requests.last().context("it was asked")?;
    assert!(question_of(last).contains("is the gate open") && requests.len() == 2);
    let results = last.body["messages"].as_array().and_then(|messages| messages.last()).context("results")?;
    let content = results["content"][0]["content"].as_array().context("blocks")?;
    let kinds: Vec<_> = content.iter().filter_map(|block| block["type"].as_str()).collect();
    assert_eq!(kinds, ["text", "image"], "{results}");
    let seen = STANDARD.decode(content[1]["source"]["data"].as_str().context("base64")?)?;
    let seen = image::load_from_memory(&seen)?;
    assert_eq!((seen.width(), seen.height()), (320, 200));
    Ok(())
}
