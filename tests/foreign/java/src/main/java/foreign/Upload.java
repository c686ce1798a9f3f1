package foreign;

import com.google.protobuf.ByteString;
import conexiones.v1.UploadServiceGrpc;
import conexiones.v1.Uploads.CreateUploadRequest;
import conexiones.v1.Uploads.FinishUploadRequest;
import conexiones.v1.Uploads.WriteChunkRequest;
import conexiones.v1.Uploads.WriteStreamRequest;
import conexiones.v1.Uploads.WriteStreamResponse;
import io.grpc.ManagedChannel;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.security.MessageDigest;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Semaphore;

/** An upload that goes on from the committed size when the connection breaks. */
final class Upload {
  private static final int CHUNK = 1 << 20;

  private final UploadServiceGrpc.UploadServiceBlockingStub blocking;
  private final UploadServiceGrpc.UploadServiceStub streaming;
  private final ByteString content;
  private String image = "";

  Upload(ManagedChannel channel, ByteString content) {
    this.content = content;
    blocking = UploadServiceGrpc.newBlockingStub(channel).withWaitForReady();
    streaming = UploadServiceGrpc.newStub(channel).withWaitForReady();
  }

  /** The id of the stored image. */
  String image() {
    return image;
  }

  /** Uploads what is no image, and reads why it is none from the outcome. */
  static String rejected(UploadServiceGrpc.UploadServiceBlockingStub stub) {
    var request = CreateUploadRequest.newBuilder().setRequestId(UUID.randomUUID().toString());
    String id = stub.createUpload(request.build()).getUpload().getId();
    ByteString data = ByteString.copyFromUtf8("no image");
    try {
      stub.writeChunk(WriteChunkRequest.newBuilder().setUploadId(id).setData(data).build());
    } catch (StatusRuntimeException refused) {
      // It may be refused already. The outcome says so as well.
    }
    var finish = FinishUploadRequest.newBuilder().setId(id).setSizeBytes(data.size());
    var finished = stub.finishUpload(finish.build()).getUpload();
    return finished.getState() + " " + finished.getFailure().getReason();
  }

  String send() throws Exception {
    var request = CreateUploadRequest.newBuilder()
        .setRequestId(UUID.randomUUID().toString())
        .setSizeBytes(content.size());
    String id = blocking.createUpload(request.build()).getUpload().getId();
    int resumed = 0;
    while (true) {
      try {
        write(id);
        break;
      } catch (StatusException error) {
        if (++resumed == 5) {
          throw error;
        }
      }
    }
    byte[] digest = MessageDigest.getInstance("SHA-256").digest(content.toByteArray());
    var finish = FinishUploadRequest.newBuilder()
        .setId(id)
        .setSizeBytes(content.size())
        .setSha256(ByteString.copyFrom(digest));
    var finished = blocking.finishUpload(finish.build()).getUpload();
    image = finished.getImage().getId();
    return finished.getState() + ", resumed " + resumed;
  }

  private void write(String id) throws Exception {
    Window window = new Window();
    var requests = streaming.writeStream(window);
    requests.onNext(WriteStreamRequest.newBuilder().setUploadId(id).build());
    long at = window.replies.next().map(WriteStreamResponse::getCommittedSize).orElseThrow();
    while (at < content.size() && window.open()) {
      ByteString data = content.substring((int) at, (int) Math.min(at + CHUNK, content.size()));
      requests.onNext(WriteStreamRequest.newBuilder().setOffset(at).setData(data).build());
      at += data.size();
    }
    if (!window.replies.ended()) {
      requests.onCompleted();
    }
    Optional<WriteStreamResponse> reply;
    do {
      reply = window.replies.next();
    } while (reply.isPresent());
  }

  /** Holds the sender back while the connection takes no more, as grpc-java itself does not. */
  private static final class Window implements ClientResponseObserver<WriteStreamRequest, WriteStreamResponse> {
    private final Replies<WriteStreamResponse> replies = new Replies<>();
    private final Semaphore changed = new Semaphore(0);
    private ClientCallStreamObserver<WriteStreamRequest> requests;

    @Override
    public void beforeStart(ClientCallStreamObserver<WriteStreamRequest> requests) {
      this.requests = requests;
      requests.setOnReadyHandler(changed::release);
    }

    /** Waits until the next chunk can be sent. False if the stream has ended. */
    boolean open() throws InterruptedException {
      while (!replies.ended() && !requests.isReady()) {
        changed.acquire();
      }
      return !replies.ended();
    }

    @Override
    public void onNext(WriteStreamResponse reply) {
      replies.onNext(reply);
    }

    @Override
    public void onError(Throwable error) {
      replies.onError(error);
      changed.release();
    }

    @Override
    public void onCompleted() {
      replies.onCompleted();
      changed.release();
    }
  }
}
