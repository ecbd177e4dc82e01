"""What the image serves: copy it, and put your agents in the place of this one.

It takes its secrets from the environment; in a container from files, which DATABASE_URL_FILE,
JWT_VERIFICATION_KEY_FILE, LICET_AUDIT_KEY_FILE and OPENAI_API_KEY_FILE name (docs/deployment.md).
"""

from licet.agent import Agent
from licet.db.postgres import PostgresDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS, AuthorizationConfig, Settings
from licet.secret_variables import required_secret

assistant = Agent(
    id="assistant",
    # Given here, so that a server without it does not start.
    model=OpenAIChat(id="gpt-4o", api_key=required_secret("OPENAI_API_KEY")),
    add_history_to_context=True,
    # Its runs go on in another replica when this one is replaced.
    durable=True,
)

agent_os = AgentOS(
    id="my-os",  # what tokens have to name as their audience
    agents=[assistant],
    db=PostgresDb(required_secret("DATABASE_URL"), row_level_security=True),
    authorization=True,
    # The keys are the environment's: JWT_VERIFICATION_KEY_FILE, JWT_JWKS_FILE or JWT_JWKS_URL.
    authorization_config=AuthorizationConfig(verify_audience=True),
    # trusted_proxies=["10.0.0.0/8"]: who may say for which client they speak; nobody by default.
    settings=Settings(docs=False),
)
app = agent_os.get_app()
