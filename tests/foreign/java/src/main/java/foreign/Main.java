package foreign;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import conexiones.v1.ImageServiceGrpc;
import conexiones.v1.Images;
import conexiones.v1.UploadServiceGrpc;
import conexiones.v1.Uploads;
import io.grpc.Grpc;
import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.examples.helloworld.GetAllReply;
import io.grpc.examples.helloworld.GetImage;
import io.grpc.examples.helloworld.GetImageReply;
import io.grpc.examples.helloworld.GetUserReply;
import io.grpc.examples.helloworld.GetUserRequest;
import io.grpc.examples.helloworld.ImageInfo;
import io.grpc.examples.helloworld.UsuarioServicioGrpc;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/** The calls of both APIs by grpc-java. */
public final class Main {
  private static final int FRAGMENT = 4 << 10;

  private final ByteString photo;
  private final UsuarioServicioGrpc.UsuarioServicioBlockingStub usuario;
  private final UsuarioServicioGrpc.UsuarioServicioStub streaming;
  private final ImageServiceGrpc.ImageServiceBlockingStub images;

  private Main(ManagedChannel channel, ByteString photo) {
    this.photo = photo;
    usuario = UsuarioServicioGrpc.newBlockingStub(channel);
    streaming = UsuarioServicioGrpc.newStub(channel);
    images = ImageServiceGrpc.newBlockingStub(channel);
  }

  public static void main(String[] arguments) throws Exception {
    ByteString photo = ByteString.copyFrom(Files.readAllBytes(Path.of(System.getenv("FOREIGN_PHOTO"))));
    ByteString large = ByteString.copyFrom(Files.readAllBytes(Path.of(System.getenv("FOREIGN_LARGE"))));
    ManagedChannel channel = dial("FOREIGN_ADDRESS");
    Main calls = new Main(channel, photo);
    say("GetUser", calls::getUser);
    say("ProcessImage", () -> calls.process(photo, null));
    say("GetStreamImage", calls::streamed);
    say("ImageStreamReply", calls::imageStream);
    say("GetUserBidiStream", calls::userStream);
    UploadServiceGrpc.UploadServiceBlockingStub uploads = UploadServiceGrpc.newBlockingStub(channel);
    say("error", () -> calls.refused(GetUserRequest.getDefaultInstance()));
    say("too large", () -> {
      long limit = uploads.getLimits(Uploads.GetLimitsRequest.getDefaultInstance()).getMaxMessageBytes();
      return calls.refused(GetUserRequest.newBuilder().setImage(ByteString.copyFrom(new byte[(int) limit])).build());
    });
    say("rejected", () -> Upload.rejected(uploads));
    say("deadline", calls::late);
    say("large", () -> calls.process(large, null));
    say("gzip", () -> calls.process(large, "gzip"));
    ManagedChannel breaking = dial("FOREIGN_PROXY");
    Upload upload = new Upload(breaking, large);
    say("upload", upload::send);
    say("download", () -> calls.download(upload.image()));
    channel.shutdown();
    breaking.shutdown();
  }

  private static void say(String name, Callable<String> see) {
    String found;
    try {
      found = see.call();
    } catch (Exception error) {
      found = ("failed: " + error).replace('\n', ' ');
    }
    byte[] line = (name + "\t" + found + "\n").getBytes(StandardCharsets.UTF_8);
    System.out.write(line, 0, line.length);
    System.out.flush();
  }

  private static ManagedChannel dial(String variable) throws IOException {
    ChannelCredentials credentials = InsecureChannelCredentials.create();
    String certs = System.getenv("FOREIGN_CERTS");
    if (!certs.isEmpty()) {
      credentials = TlsChannelCredentials.newBuilder()
          .trustManager(new File(certs, "ca.pem"))
          .keyManager(new File(certs, "client.pem"), new File(certs, "client.key"))
          .build();
    }
    return Grpc.newChannelBuilder(System.getenv(variable), credentials).build();
  }

  private static String described(ImageInfo image) {
    return "%s %dx%d %d".formatted(image.getFormat(), image.getWidth(), image.getHeight(), image.getSizeBytes());
  }

  private String getUser() {
    return usuario.getUser(GetUserRequest.newBuilder().setName("Zoé").setPow(3).build()).getMessage();
  }

  private String process(ByteString image, String compression) {
    GetUserRequest request = GetUserRequest.newBuilder().setImage(image).build();
    return described(usuario.withCompression(compression).processImage(request).getImageInfo());
  }

  private String streamed() throws Exception {
    Replies<GetUserReply> replies = new Replies<>();
    StreamObserver<GetImage> requests = streaming.getStreamImage(replies);
    for (int at = 0; at < photo.size(); at += FRAGMENT) {
      ByteString fragment = photo.substring(at, Math.min(at + FRAGMENT, photo.size()));
      requests.onNext(GetImage.newBuilder().setImage(fragment).build());
    }
    requests.onCompleted();
    return described(replies.next().orElseThrow().getImageInfo());
  }

  private String imageStream() throws Exception {
    Replies<GetImageReply> replies = new Replies<>();
    StreamObserver<GetImage> requests = streaming.imageStreamReply(replies);
    List<String> found = new ArrayList<>();
    for (ByteString image : List.of(photo, ByteString.copyFromUtf8("no image"), photo)) {
      requests.onNext(GetImage.newBuilder().setImage(image).build());
      GetImageReply reply = replies.next().orElseThrow(); // Before the next image is sent.
      found.add(reply.getImageInfo().getFormat() + reply.getError().getReason());
    }
    requests.onCompleted();
    return ended(replies, found);
  }

  private String userStream() throws Exception {
    Replies<GetAllReply> replies = new Replies<>();
    StreamObserver<GetUserRequest> requests = streaming.getUserBidiStream(replies);
    List<String> found = new ArrayList<>();
    for (int pow : new int[] {7, 65536}) {
      requests.onNext(GetUserRequest.newBuilder().setName("Iñaki").setPow(pow).setImage(photo).build());
      GetAllReply reply = replies.next().orElseThrow();
      StringBuilder text = new StringBuilder().append(reply.getPow());
      reply.getErrorsList().forEach(error -> text.append(' ').append(error.getReason()));
      if (reply.getImage().startsWith(ByteString.copyFrom(new byte[] {(byte) 0xff, (byte) 0xd8, (byte) 0xff}))) {
        text.append(" preview");
      }
      found.add(text.toString());
    }
    requests.onCompleted();
    return ended(replies, found);
  }

  private static String ended(Replies<?> replies, List<String> found) throws Exception {
    if (replies.next().isPresent()) {
      throw new IllegalStateException("one reply too many");
    }
    return String.join(", ", found);
  }

  private String refused(GetUserRequest request) throws Exception {
    try {
      usuario.getUser(request);
      return "not refused";
    } catch (StatusRuntimeException error) {
      StringBuilder text = new StringBuilder().append(error.getStatus().getCode().value());
      for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          text.append(' ').append(detail.unpack(ErrorInfo.class).getReason());
        } else if (detail.is(BadRequest.class)) {
          text.append(' ').append(detail.unpack(BadRequest.class).getFieldViolations(0).getField());
        }
      }
      return text.toString();
    }
  }

  private String late() {
    try {
      var timed = images.withDeadlineAfter(300, TimeUnit.MILLISECONDS);
      timed.watchImages(Images.WatchImagesRequest.getDefaultInstance()).forEachRemaining(event -> {});
      return "not ended";
    } catch (StatusRuntimeException error) {
      return String.valueOf(error.getStatus().getCode().value());
    }
  }

  private String download(String id) throws Exception {
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    Iterator<Images.DownloadImageResponse> frames =
        images.downloadImage(Images.DownloadImageRequest.newBuilder().setId(id).build());
    frames.forEachRemaining(frame -> digest.update(frame.getData().asReadOnlyByteBuffer()));
    return HexFormat.of().formatHex(digest.digest());
  }
}
