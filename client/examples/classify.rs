//! Classifies pictures: `cargo run -p sotto-client --example classify -- client.toml cat.png dog.jpg`

use std::{env, error::Error, fs, path::Path};

use sotto_client::{Client, Config, Found};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (config, files) = arguments.split_first().ok_or("give client.toml and pictures")?;
    let mut client = Client::connect(Config::load(Path::new(config))?, None)?;
    let picture = |file: &String| Ok(client.picture(file, &fs::read(file)?)?);
    let pictures = files.iter().map(picture).collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    for answer in client.answer(&pictures)? {
        if let Found::Class { class_name, .. } = answer.found {
            println!("{}: {class_name}", answer.name);
        }
    }
    client.leave();
    Ok(())
}
