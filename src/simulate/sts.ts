/**
 * STS at the same endpoint: GetCallerIdentity, so that a client can say who it is.
 *
 * @see https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
 */
import type { Answer, ApiRequest } from "./endpoint.ts";
import { xmlDocument } from "./xml.ts";

const NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/";

export function getCallerIdentity(request: ApiRequest): Answer {
  const { arn, userId, account } = request.caller;
  const body = xmlDocument({ name: "GetCallerIdentityResponse", namespace: NAMESPACE }, [
    ["GetCallerIdentityResult", [["Arn", arn], ["UserId", userId], ["Account", account]]],
    ["ResponseMetadata", [["RequestId", request.requestId]]],
  ]);
  return { status: 200, headers: { "Content-Type": "text/xml" }, body };
}
