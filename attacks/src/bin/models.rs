//! Models to attack with: `models pictures FOLDER` (tiny, without its calibration), `models texts FROM TO WIDTH LAYERS POSITIONS` (random weights
//! of another size, with the tokenizer of `FROM`).

use std::{error::Error, fs, path::Path};

use sotto_models::{Arch, Model, Weights, model::Input, weights::Precision};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["pictures", to] => {
            let arch = Arch { mean: [0.5; 3], std: [1.0; 3], ..Arch::vit(1, 2, 16, 32, 32, 8, 10) };
            fs::create_dir_all(to)?;
            fs::write(Path::new(to).join("arch.toml"), arch.to_toml())?;
            let weights = Weights::random(&arch, 1);
            weights.save(&Path::new(to).join("weights.safetensors"), Precision::F32)?;
        }
        ["texts", from, to, width, layers, positions] => {
            let text = fs::read_to_string(Path::new(from).join("arch.toml"))?;
            let mut model = Model::from_toml(&text)?;
            let (width, layers): (usize, usize) = (width.parse()?, layers.parse()?);
            let stack = &mut model.stack;
            (stack.layers, stack.width, stack.hidden) = (layers, width, 4 * width);
            stack.heads = (width / 32).max(1);
            let (head, activation) = (stack.attention[0][0], stack.activation[0]);
            stack.attention = vec![vec![head; stack.heads]; layers];
            stack.activation = vec![activation; layers];
            if let Input::Words(words) = &mut model.input {
                (words.positions, words.width) = (positions.parse()?, width);
            }
            fs::create_dir_all(to)?;
            fs::write(Path::new(to).join("arch.toml"), model.to_toml())?;
            fs::copy(Path::new(from).join("tokenizer.json"), Path::new(to).join("tokenizer.json"))?;
            let weights = Weights::random(&model, 1);
            weights.save(&Path::new(to).join("weights.safetensors"), Precision::F32)?;
        }
        _ => return Err("pictures FOLDER | texts FROM TO WIDTH LAYERS POSITIONS".into()),
    }
    Ok(())
}
