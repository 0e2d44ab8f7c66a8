import io.grpc.BindableService;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.temporal.internal.testservice.TestServicesStarter;

/**
 * Temporal's test server with a clock that begins where it is told to, so that cases of any date can be played.
 *
 * <p>Arguments: the port; the instant at which time begins, in epoch ms. Time is skipped only on demand.
 */
public final class TimeSkippingServer {
  public static void main(String[] arguments) throws Exception {
    int port = Integer.parseInt(arguments[0]);
    long begins = Long.parseLong(arguments[1]);
    TestServicesStarter starter = new TestServicesStarter(true, begins);
    ServerBuilder<?> builder =
        Grpc.newServerBuilderForPort(port, InsecureServerCredentials.create())
            .maxInboundMessageSize(64 * 1024 * 1024);
    for (BindableService service : starter.getServices()) {
      builder.addService(service);
    }
    Server server = builder.build().start();
    server.awaitTermination();
  }
}
