use super::*;

#[test]
fn identities_are_shortened_to_who_people_know() {
    for (arn, expected) in [
        ("arn:aws:sts::111122223333:assumed-role/App/i-0abc", "App/i-0abc"),
        ("arn:aws:iam::111122223333:user/path/to/alice", "alice"),
        ("arn:aws:iam::111122223333:role/service/worker", "worker"),
        ("arn:aws:sts::111122223333:federated-user/bob", "bob"),
        ("arn:aws:iam::111122223333:root", "root"),
        ("arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_0123/a@example.com", "Admin_0123/a@example.com"),
        ("arn:aws:sts::111111111111:assumed-role/...", "..."),
        ("arn:", "arn:"),
        ("someone", "someone"),
    ] {
        assert_eq!(Identity::of(arn).unwrap().shown(), expected, "{arn}");
    }
    assert_eq!(Identity::of(""), None);
}

#[test]
fn identities_are_taken_apart() {
    use IdentityKind::{AssumedRole, FederatedUser, Other, Role, Root, User};
    let account = Some("111122223333");
    for (arn, kind, partition, account, name, session) in [
        ("arn:aws:sts::111122223333:assumed-role/App/i-0", AssumedRole, Some("aws"), account, "App", Some("i-0")),
        ("arn:aws-cn:sts::111122223333:assumed-role/App", AssumedRole, Some("aws-cn"), account, "App", None),
        ("arn:aws:iam::111122223333:user/a/b/alice", User, Some("aws"), account, "alice", None),
        ("arn:aws:iam::111122223333:role/a/worker", Role, Some("aws"), account, "worker", None),
        ("arn:aws:sts::111122223333:federated-user/bob", FederatedUser, Some("aws"), account, "bob", None),
        ("arn:aws:iam::111122223333:root", Root, Some("aws"), account, "root", None),
        ("arn:aws:iam:::something:else", Other, Some("aws"), None, "something:else", None),
        ("arn:aws:iam::111122223333", Other, None, None, "arn:aws:iam::111122223333", None),
        ("a:b:c:d:e:user/f", Other, None, None, "a:b:c:d:e:user/f", None),
        ("::::::", Other, None, None, "::::::", None),
    ] {
        let found = Identity::of(arn).unwrap();
        assert_eq!(
            (found.kind, found.partition, found.account, found.name, found.session),
            (kind, partition, account, name, session),
            "{arn}"
        );
    }
}

#[test]
fn models_are_taken_apart() {
    let profile = "arn:aws:bedrock:us-east-2:1:inference-profile/us.meta.llama3-3-70b-instruct-v1:0";
    let custom = "arn:aws:bedrock:us-east-1:1:custom-model/amazon.titan-text-lite-v1:0:4k/0123456789ab";
    for (id, provider, name, version) in [
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "anthropic", "claude-3-5-sonnet", "20241022-v2:0"),
        ("us-gov.anthropic.claude-3-haiku-20240307-v1:0", "anthropic", "claude-3-haiku", "20240307-v1:0"),
        ("global.anthropic.claude-sonnet-4-6", "anthropic", "claude-sonnet-4-6", ""),
        ("anthropic.claude-v2:1", "anthropic", "claude", "v2:1"),
        ("anthropic.claude-3-sonnet-20240229-v1:0:28k", "anthropic", "claude-3-sonnet", "20240229-v1:0:28k"),
        ("amazon.titan-embed-text-v2:0", "amazon", "titan-embed-text", "v2:0"),
        ("eu.mistral.pixtral-large-2502-v1:0", "mistral", "pixtral-large", "2502-v1:0"),
        ("openai.gpt-oss-120b-1:0", "openai", "gpt-oss-120b", "1:0"),
        ("us.openai.gpt-6-astra", "openai", "gpt-6-astra", ""),
        ("us.deepseek.r1-v1:0", "deepseek", "r1", "v1:0"),
        ("deepseek.v3-v1:0", "deepseek", "v3", "v1:0"),
        ("deepseek.v3.2", "deepseek", "v3.2", ""),
        ("zai.glm-4.7", "zai", "glm-4.7", ""),
        ("cohere.command-text-v14", "cohere", "command-text", "v14"),
        (profile, "meta", "llama3-3-70b-instruct", "v1:0"),
        (custom, "amazon", "titan-text-lite", "v1:0:4k"),
        ("arn:aws:bedrock:us-east-2:1:application-inference-profile/ab.c1-v1:0", "", "ab.c1-v1:0", ""),
        ("arn:aws:sagemaker:us-east-2:1:endpoint/mine", "", "mine", ""),
        ("claude-3-5-sonnet-20241022", "", "claude-3-5-sonnet", "20241022"),
        ("gpt-4.1", "", "gpt-4.1", ""),
        ("llama3.1", "", "llama3.1", ""),
        ("", "", "", ""),
        ("-v1:0", "", "-v1:0", ""),
        (".", "", ".", ""),
        ("us.", "", "us.", ""),
        (".x", "", "x", ""),
    ] {
        let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
        let expected = Model { provider: some(provider), name, version: some(version) };
        assert_eq!(Model::of(id), expected, "{id}");
    }
}
