import io.grpc.BindableService;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.temporal.internal.testservice.TestServicesStarter;
import java.util.Scanner;

/**
 * Temporal's test server with a clock that begins where it is told to, so that cases of any date can be played.
 *
 * <p>Arguments: the port; the instant at which time begins, in epoch ms. Without arguments it reads
 * such an instant for each server that is wanted, a line each, and answers each line with the port that was chosen; it
 * ends with its input. Time is skipped only on demand.
 */
public final class TimeSkippingServer {
  public static void main(String[] arguments) throws Exception {
    if (arguments.length > 0) {
      serve(Integer.parseInt(arguments[0]), Long.parseLong(arguments[1])).awaitTermination();
    }
    Scanner lines = new Scanner(System.in);
    while (lines.hasNextLong()) {
      System.out.println(serve(0, lines.nextLong()).getPort());
    }
    System.exit(0);
  }

  private static Server serve(int port, long begins) throws Exception {
    TestServicesStarter starter = new TestServicesStarter(true, begins);
    ServerBuilder<?> builder =
        Grpc.newServerBuilderForPort(port, InsecureServerCredentials.create())
            .maxInboundMessageSize(64 * 1024 * 1024);
    for (BindableService service : starter.getServices()) {
      builder.addService(service);
    }
    return builder.build().start();
  }
}
