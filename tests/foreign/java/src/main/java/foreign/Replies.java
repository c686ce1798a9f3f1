package foreign;

import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** The replies of a stream, to be awaited one by one. */
final class Replies<T> implements StreamObserver<T> {
  private record Event<T>(Optional<T> reply, Status status) {}

  private final BlockingQueue<Event<T>> events = new LinkedBlockingQueue<>();
  private volatile boolean ended;

  @Override
  public void onNext(T reply) {
    events.add(new Event<>(Optional.of(reply), null));
  }

  @Override
  public void onError(Throwable error) {
    ended = true;
    events.add(new Event<>(Optional.empty(), Status.fromThrowable(error)));
  }

  @Override
  public void onCompleted() {
    ended = true;
    events.add(new Event<>(Optional.empty(), Status.OK));
  }

  /** Whether the stream has ended, even if not all replies have been taken. */
  boolean ended() {
    return ended;
  }

  /** The next reply, or nothing at the end of the stream. Throws StatusException if the stream failed. */
  Optional<T> next() throws Exception {
    Event<T> event = events.take();
    if (event.reply().isEmpty() && !event.status().isOk()) {
      throw event.status().asException();
    }
    return event.reply();
  }
}
