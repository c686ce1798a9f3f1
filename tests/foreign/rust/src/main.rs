//! The calls of both APIs by tonic.

use std::error::Error;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

pub mod user {
    tonic::include_proto!("user");
}
pub mod conexiones {
    pub mod v1 {
        tonic::include_proto!("conexiones.v1");
    }
}

use conexiones::v1::image_service_client::ImageServiceClient;
use conexiones::v1::upload_service_client::UploadServiceClient;
use conexiones::v1::{
    CreateUploadRequest, DownloadImageRequest, FinishUploadRequest, GetLimitsRequest,
    WatchImagesRequest, WriteChunkRequest, WriteStreamRequest,
};
use user::usuario_servicio_client::UsuarioServicioClient;
use user::{GetImage, GetUserRequest, ImageInfo};

type Found = Result<String, Box<dyn Error>>;
type Usuario = UsuarioServicioClient<Channel>;

const FRAGMENT: usize = 4 << 10;
const CHUNK: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let photo = std::fs::read(std::env::var("FOREIGN_PHOTO")?)?;
    let large = std::fs::read(std::env::var("FOREIGN_LARGE")?)?;
    let channel = endpoint("FOREIGN_ADDRESS")?.connect_lazy();
    let uploading = channel.clone();
    let mut usuario = UsuarioServicioClient::new(channel.clone());
    let mut zipping = usuario.clone().send_compressed(CompressionEncoding::Gzip);
    let mut images = ImageServiceClient::new(channel);

    say("GetUser", get_user(&mut usuario).await);
    say("ProcessImage", process(&mut usuario, &photo).await);
    say("GetStreamImage", streamed(&mut usuario, &photo).await);
    say("ImageStreamReply", image_stream(&mut usuario, &photo).await);
    say("GetUserBidiStream", user_stream(&mut usuario, &photo).await);
    let mut uploads = UploadServiceClient::new(uploading);
    let empty = usuario.get_user(GetUserRequest::default()).await;
    say("error", refused(empty));
    say("too large", too_large(&mut usuario, &mut uploads).await);
    say("rejected", rejected(&mut uploads).await);
    say("deadline", late(&mut images).await);
    say("large", process(&mut usuario, &large).await);
    say("gzip", process(&mut zipping, &large).await);
    let mut id = String::new();
    let broken = UploadServiceClient::new(endpoint("FOREIGN_PROXY")?.connect_lazy());
    say("upload", upload(broken, &large, &mut id).await);
    say("download", download(&mut images, id).await);
    Ok(())
}

fn say(case: &str, found: Found) {
    let text = found.unwrap_or_else(|error| format!("failed: {error:?}").replace('\n', " "));
    println!("{case}\t{text}");
}

fn endpoint(variable: &str) -> Result<Endpoint, Box<dyn Error>> {
    let address = std::env::var(variable)?;
    let certs = std::env::var("FOREIGN_CERTS")?;
    if certs.is_empty() {
        return Ok(Endpoint::from_shared(format!("http://{address}"))?);
    }
    let read = |name: &str| std::fs::read(format!("{certs}/{name}"));
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("ca.pem")?))
        .identity(Identity::from_pem(read("client.pem")?, read("client.key")?));
    Ok(Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?)
}

fn described(image: Option<ImageInfo>) -> String {
    let image = image.unwrap_or_default();
    format!(
        "{} {}x{} {}",
        image.format, image.width, image.height, image.size_bytes
    )
}

async fn get_user(client: &mut Usuario) -> Found {
    let request = GetUserRequest {
        name: "Zoé".into(),
        pow: 3,
        image: vec![],
    };
    Ok(client.get_user(request).await?.into_inner().message)
}

async fn process(client: &mut Usuario, image: &[u8]) -> Found {
    let request = GetUserRequest {
        image: image.to_vec(),
        ..Default::default()
    };
    Ok(described(
        client.process_image(request).await?.into_inner().image_info,
    ))
}

async fn streamed(client: &mut Usuario, image: &[u8]) -> Found {
    let fragments: Vec<_> = image
        .chunks(FRAGMENT)
        .map(|part| GetImage {
            image: part.to_vec(),
        })
        .collect();
    let reply = client
        .get_stream_image(tokio_stream::iter(fragments))
        .await?;
    Ok(described(reply.into_inner().image_info))
}

async fn image_stream(client: &mut Usuario, photo: &[u8]) -> Found {
    // tonic returns the stream of replies when the response headers are there. The first request is queued
    // before, so it does not matter whether these come at once or with the first reply.
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    let images = [photo, b"no image", photo].map(|image| GetImage {
        image: image.to_vec(),
    });
    let mut images = images.into_iter();
    sender.send(images.next().ok_or("none")?).await?;
    let mut replies = client
        .image_stream_reply(ReceiverStream::new(requests))
        .await?
        .into_inner();
    let mut found = Vec::new();
    while let Some(reply) = replies.message().await? {
        let (format, reason) = (
            reply.image_info.map(|image| image.format),
            reply.error.map(|error| error.reason),
        );
        found.push(format.or(reason).unwrap_or_default());
        match images.next() {
            Some(image) => sender.send(image).await?,
            None => break,
        }
    }
    drop(sender);
    if replies.message().await?.is_some() {
        return Err("one reply too many".into());
    }
    Ok(found.join(", "))
}

async fn user_stream(client: &mut Usuario, photo: &[u8]) -> Found {
    let users = [7, 65536].map(|pow| GetUserRequest {
        name: "Iñaki".into(),
        pow,
        image: photo.to_vec(),
    });
    let mut replies = client
        .get_user_bidi_stream(tokio_stream::iter(users))
        .await?
        .into_inner();
    let mut found = Vec::new();
    while let Some(reply) = replies.message().await? {
        let mut text = reply.pow.to_string();
        for error in &reply.errors {
            text += &format!(" {}", error.reason);
        }
        if reply.image.starts_with(b"\xff\xd8\xff") {
            text += " preview";
        }
        found.push(text);
    }
    Ok(found.join(", "))
}

fn refused<T>(result: Result<T, Status>) -> Found {
    let status = result.err().ok_or("not refused")?;
    let details = status.get_error_details();
    let mut text = i32::from(status.code()).to_string();
    if let Some(info) = details.error_info() {
        text += &format!(" {}", info.reason);
    }
    if let Some(bad) = details.bad_request() {
        text += &format!(" {}", bad.field_violations[0].field);
    }
    Ok(text)
}

async fn too_large(client: &mut Usuario, uploads: &mut UploadServiceClient<Channel>) -> Found {
    let limits = uploads.get_limits(GetLimitsRequest {}).await?.into_inner();
    let image = vec![0; limits.max_message_bytes as usize];
    let request = GetUserRequest {
        image,
        ..Default::default()
    };
    refused(client.process_image(request).await)
}

/// Uploads what is no image, and reads why it is none from the outcome.
async fn rejected(client: &mut UploadServiceClient<Channel>) -> Found {
    let created = client.create_upload(CreateUploadRequest {
        request_id: request_id(),
        ..Default::default()
    });
    let id = created.await?.into_inner().upload.ok_or("no upload")?.id;
    let data = b"no image".to_vec();
    let size_bytes = data.len() as i64;
    let chunk = WriteChunkRequest {
        upload_id: id.clone(),
        data,
        ..Default::default()
    };
    let _ = client.write_chunk(chunk).await; // May be refused already.
    let finish = FinishUploadRequest {
        id,
        size_bytes,
        ..Default::default()
    };
    let finished = client.finish_upload(finish).await?.into_inner();
    let upload = finished.upload.ok_or("no upload")?;
    let state = upload.state().as_str_name();
    Ok(format!(
        "{state} {}",
        upload.failure.ok_or("no failure")?.reason
    ))
}

async fn late(client: &mut ImageServiceClient<Channel>) -> Found {
    let mut request = Request::new(WatchImagesRequest::default());
    // tonic sends it as grpc-timeout; the server is what ends the call.
    request.set_timeout(Duration::from_millis(300));
    let failed = async {
        let mut events = client.watch_images(request).await?.into_inner();
        while events.message().await?.is_some() {}
        Ok::<(), Status>(())
    };
    let status = failed.await.err().ok_or("not ended")?;
    Ok(i32::from(status.code()).to_string())
}

fn request_id() -> String {
    format!(
        "rust-{}-{:?}",
        std::process::id(),
        std::time::SystemTime::now()
    )
}

/// Sends the bytes, and goes on from the committed size when the connection breaks.
async fn upload(
    mut client: UploadServiceClient<Channel>,
    content: &[u8],
    image: &mut String,
) -> Found {
    let size_bytes = Some(content.len() as i64);
    let request = CreateUploadRequest {
        request_id: request_id(),
        size_bytes,
        ..Default::default()
    };
    let created = client
        .create_upload(request)
        .await?
        .into_inner()
        .upload
        .ok_or("no upload")?;
    let mut resumed = 0;
    while let Err(status) = write(&mut client, &created.id, content).await {
        resumed += 1;
        if resumed == 5 {
            return Err(status.into());
        }
    }
    let sha256 = Sha256::digest(content).to_vec();
    let request = FinishUploadRequest {
        id: created.id,
        size_bytes: content.len() as i64,
        sha256,
    };
    let finished = client
        .finish_upload(request)
        .await?
        .into_inner()
        .upload
        .ok_or("no upload")?;
    let state = finished.state().as_str_name();
    *image = finished.image.map(|image| image.id).unwrap_or_default();
    Ok(format!("{state}, resumed {resumed}"))
}

async fn write(
    client: &mut UploadServiceClient<Channel>,
    id: &str,
    content: &[u8],
) -> Result<(), Status> {
    let (sender, requests) = tokio::sync::mpsc::channel(4);
    let gone = |_| Status::unavailable("the stream has ended");
    let first = WriteStreamRequest {
        upload_id: id.into(),
        ..Default::default()
    };
    sender.send(first).await.map_err(gone)?;
    let mut replies = client
        .write_stream(ReceiverStream::new(requests))
        .await?
        .into_inner();
    let begin = replies
        .message()
        .await?
        .ok_or_else(|| Status::new(Code::Internal, "no first reply"))?;
    let acknowledged = async {
        // Acknowledgements come while chunks are sent.
        while replies.message().await?.is_some() {}
        Ok::<(), Status>(())
    };
    let sent = async move {
        let mut offset = begin.committed_size;
        for data in content[offset as usize..].chunks(CHUNK) {
            let request = WriteStreamRequest {
                offset,
                data: data.to_vec(),
                ..Default::default()
            };
            if sender.send(request).await.is_err() {
                break; // What was received says why.
            }
            offset += data.len() as i64;
        }
    };
    tokio::join!(acknowledged, sent).0
}

async fn download(client: &mut ImageServiceClient<Channel>, id: String) -> Found {
    let mut frames = client
        .download_image(DownloadImageRequest {
            id,
            ..Default::default()
        })
        .await?
        .into_inner();
    let mut digest = Sha256::new();
    while let Some(frame) = frames.message().await? {
        digest.update(&frame.data);
    }
    Ok(digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
