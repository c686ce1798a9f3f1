//! Generates the code of both APIs. tonic-prost-build calls the protoc that PROTOC names.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = std::env::var("FOREIGN_PROTO")?;
    println!("cargo::rerun-if-env-changed=FOREIGN_PROTO");
    let files = [
        "user.proto",
        "conexiones/v1/images.proto",
        "conexiones/v1/uploads.proto",
    ];
    tonic_prost_build::configure()
        .build_server(false)
        .compile_protos(&files.map(|name| format!("{protos}/{name}")), &[protos])?;
    Ok(())
}
