//! `slipway boot`: the stack and the layers of templates, made before the first push needs them.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use buildstep::{Buildstep, Progress};
use model::{TemplateName, push_output};

use super::roles;
use crate::cli::exit;
use crate::config;

mod screen;

use screen::Screen;

/// Makes all layers, or those of some templates. The server must run: layers are kept in its registry.
pub fn main(path: Option<&Path>, templates: &[String]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(boot(path, templates)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(" !     {error:#}");
            eprintln!(" !       → slipway doctor");
            ExitCode::from(exit::FAILED)
        }
    }
}

async fn boot(path: Option<&Path>, templates: &[String]) -> Result<()> {
    let config = config::load(path)?;
    if std::os::unix::net::UnixStream::connect(config.control_socket()).is_err() {
        bail!("the server does not run on this machine (or you may not reach {})", config.control_socket().display());
    }
    let login = roles::registry::login(&config).context("could not read the registry's secret; are you root?")?;
    let builder = roles::builder::builder(&config, config.registry.listen, &login)?;
    let begun = Instant::now();
    let screen = Screen::of_process();
    let made = layers(&builder, templates, &|news| screen.show(news)).await;
    screen.end();
    made?;
    println!("{}", push_output::detail(format!("layers are ready after {}", push_output::elapsed(begun.elapsed().as_millis() as u64))));
    Ok(())
}

async fn layers(builder: &Buildstep, templates: &[String], progress: Progress<'_>) -> Result<()> {
    if templates.is_empty() {
        builder.boot(progress).await?;
    }
    for name in templates {
        let name = TemplateName::new(name.clone())?;
        if builder.catalog().get(&name).is_none() {
            let known: Vec<String> = builder.catalog().iter().map(|template| template.name().to_string()).collect();
            bail!("there is no template `{name}`; there are {}", known.join(", "));
        }
        builder.boot_template(&name, progress).await?;
    }
    Ok(())
}
