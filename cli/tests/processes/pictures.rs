//! The pictures that a client is given: read before anything is dialled, each with a result or an error of its own.

use std::{fs, io::ErrorKind, net::UdpSocket};

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use serde_json::Value;
use sotto::model::DEMO_IMAGES;

use crate::{
    parties::{LOCAL, Parties},
    spawned::Outcome,
};

/// A grey PNG of this many pixels a side.
fn png(parties: &Parties, name: &str, side: u32) -> String {
    let (mut bytes, pixels) = (Vec::new(), vec![90; 3 * (side * side) as usize]);
    PngEncoder::new(&mut bytes).write_image(&pixels, side, side, ExtendedColorType::Rgb8).unwrap();
    parties.write(name, &bytes);
    parties.text(name)
}

fn document(done: &Outcome) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("{e}: {}", done.out))
}

#[test]
fn a_mistake_in_a_name_costs_no_network() {
    let parties = Parties::new();
    let nobody = UdpSocket::bind(LOCAL).unwrap();
    nobody.set_nonblocking(true).unwrap();
    let at = nobody.local_addr().unwrap();
    let config = parties.client_config("client", "", [at, at]);
    parties.write("text.png", b"not a picture at all");
    fs::create_dir(parties.path("empty")).unwrap();
    for (file, words) in
        [("none.png", "No such file"), ("text.png", "neither PNG nor JPEG"), ("empty", "no .png")]
    {
        let done = parties.infer(&config, &[&parties.text(file)]);
        done.failed(3, &[file, words]);
        assert!(document(&done)["results"][0]["error"].as_str().unwrap().contains(words));
    }
    let images = parties.text("images.bin");
    parties.infer(&config, &["--limit", "0", &images]).failed(2, &["limit of 0"]);
    let silence = nobody.recv_from(&mut [0; 2000]).unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::WouldBlock, "a packet was sent");
}

#[test]
fn one_bad_picture_is_named_and_the_others_are_classified() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("batch = 2\n", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    fs::create_dir(parties.path("folder")).unwrap();
    for name in ["folder/b.png", "folder/a.PNG"] {
        png(&parties, name, 32);
    }
    parties.write("folder/notes.txt", b"no picture");
    parties.write("folder/c.webp", b"RIFF\x10\0\0\0WEBPVP8 ");
    let files = [
        parties.text("images.bin"),
        parties.text("none.png"),
        png(&parties, "large.png", 48),
        parties.text("folder"),
    ];
    let files = files.each_ref().map(|f| &f[..]);
    let done = parties.infer(&config, &files);
    done.failed(3, &["3 of 21 images", "none.png"]);
    let all = document(&done);
    let results = all["results"].as_array().unwrap();
    let errors: Vec<_> = results.iter().filter_map(|r| r["error"].as_str()).collect();
    assert!(errors.len() == 3 && errors[0].contains("No such file"), "{errors:?}");
    assert!(errors[1].contains("48 x 48") && errors[1].contains("--resize"), "{errors:?}");
    assert!(errors[2].contains("c.webp") && errors[2].contains("PNG"), "{errors:?}");
    let classified = results.iter().filter(|r| r["class"].is_number()).count();
    assert_eq!((classified, results.len()), (DEMO_IMAGES.len() / 3073 + 2, 21));
    assert_eq!(results.iter().filter(|r| r["name"] == "a.PNG").count(), 1);
    assert_eq!(all["exit_code"], 3);

    let table = parties.start_infer(&config, &[&["--limit", "18"], &files[..]].concat()).finish();
    assert_eq!(table.code, 3, "{}", table.err);
    assert!(table.out.contains("none.png: ") && table.out.contains("images.bin#15"));
    fs::remove_file(parties.path("folder/c.webp")).unwrap();
    let resized = parties.infer(&config, &["--resize", files[2], files[3]]);
    assert_eq!(resized.classes().len(), 3);
    assert_eq!(document(&resized)["error"], Value::Null);
    assert_eq!(document(&resized)["setup"]["model_hash"].as_str().unwrap().len(), 64);
}

#[test]
fn demo_names_what_it_cannot_read_and_goes_on_as_infer_does() {
    let parties = Parties::new();
    let files = [
        parties.text("images.bin"),
        parties.text("none.png"),
        png(&parties, "large.png", 48),
        png(&parties, "small.png", 32),
    ];
    let model = parties.text("model");
    let args = ["demo", "--model", &model, "--limit", "6", "--images"];
    let ask = |form: &[&str], files: &[String]| {
        let files: Vec<&str> = files.iter().flat_map(|file| ["--images", file]).skip(1).collect();
        parties.sotto(&[&args[..], &files, form].concat())
    };
    let done = ask(&["--json"], &files[1..]);
    done.failed(3, &["2 of 3 images", "none.png"]);
    let all = document(&done);
    assert_eq!((&all["images"], &all["agree_simulator"]), (&1.into(), &1.into()));
    let results = all["results"].as_array().unwrap();
    let errors: Vec<_> = results.iter().filter_map(|r| r["error"].as_str()).collect();
    assert!(errors[0].contains("No such file") && errors[1].contains("48 x 48"), "{errors:?}");
    assert_eq!((results.len(), all["exit_code"].as_u64()), (3, Some(3)));
    let table = ask(&[], &files[1..]);
    assert_eq!(table.code, 3, "{}", table.err);
    assert!(table.out.contains("none.png: ") && table.out.contains("1 images"), "{}", table.out);
    // Nothing is started for none, and all is well without.
    ask(&[], &files[1..3]).failed(3, &["2 of 2 images"]);
    let fine = ask(&["--json"], &files[..1]);
    assert_eq!((fine.code, &document(&fine)["error"]), (0, &Value::Null), "{}", fine.err);
}

#[test]
fn what_is_there_is_printed_when_the_server_is_lost() {
    let parties = Parties::new();
    for form in ["", "--json", "--json-lines"] {
        let (_dealer, dealer) = parties.dealer("", None);
        let (mut server_process, server) = parties.server("", dealer, None);
        let config = parties.client_config("client", "", [server, dealer]);
        let many = parties.many(200);
        let args = [form, &many];
        let mut client = parties.start_infer(&config, &args[usize::from(form.is_empty())..]);
        // A line at once for each, but for the one document; the first is the header or the setup.
        let mut lines = 0;
        while lines < 4 && form != "--json" {
            assert!(!client.line().is_empty());
            lines += 1;
        }
        client.log.wait_for(" used", 4);
        server_process.kill();
        let done = client.finish();
        done.failed(4, &["server"]);
        match form {
            "--json" => {
                let all = document(&done);
                assert!(all["results"].as_array().unwrap().len() >= 3);
                assert!(all["error"].as_str().unwrap().contains("server"), "{}", all["error"]);
                assert_eq!(all["exit_code"], 4);
            }
            _ => assert!(done.out.contains("many.bin#3"), "{}", done.out),
        }
        if form == "--json-lines" {
            let last: Value = serde_json::from_str(done.out.lines().last().unwrap()).unwrap();
            assert_eq!(last["exit_code"], 4);
            assert!(last["error"].as_str().unwrap().contains("server"), "{last}");
        }
    }
}

#[test]
fn names_of_pictures_steer_no_terminal() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    fs::create_dir(parties.path("pictures")).unwrap();
    let name = "\u{1b}[2J\u{202e}\u{9b}2J\u{200b}é";
    png(&parties, &format!("pictures/a{name}.png"), 16);
    parties.write(&format!("pictures/b{name}.png"), b"no picture");
    parties.write(&format!("pictures/c{name}.webp"), b"another");
    let pictures = parties.text("pictures");
    for form in ["--resize", "--json", "--json-lines"] {
        let done = parties.start_infer(&config, &[form, &pictures]).finish();
        assert_eq!(done.code, 3, "{form}: {}", done.err);
        let shown = done.out + &done.err;
        assert!(shown.contains("u{202e}") && shown.contains('é'), "{form}: {shown}");
        let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        assert!(!shown.contains(steers), "{form}: {shown}");
        assert!(!shown.contains(['\u{202e}', '\u{200b}']), "{form}: {shown}");
    }
}
