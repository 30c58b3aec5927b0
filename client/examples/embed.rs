//! Embeds texts, a line of numbers each: `cargo run -p sotto-client --example embed -- client.toml "a text" "another"`

use std::{env, error::Error, path::Path};

use sotto_client::{Client, Config, Found};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (config, texts) = arguments.split_first().ok_or("give client.toml and texts")?;
    let mut client = Client::new(Config::load(Path::new(config))?)?;
    let texts = texts.iter().map(|text| client.text(text, text)).collect::<Result<Vec<_>, _>>()?;
    for answer in client.answer(&texts)? {
        if let Found::Embedding { embedding } = answer.found {
            let numbers: Vec<String> = embedding.iter().map(f64::to_string).collect();
            println!("{}", numbers.join(" "));
        }
    }
    client.leave();
    Ok(())
}
